// The groups of the list: what is pinned, and then by the day, week or month of the last message.

import { texts } from "./texts.js";

/** @typedef {import("../types.js").SessionItem} SessionItem */

const TEXTS = texts.page.dates;

const PINNED = Infinity;
const TODAY = 1e9; // is after every month
const YESTERDAY = TODAY - 1;
const WEEK = TODAY - 2;
const MONTH = TODAY - 3;

/**
 * Return the groups, latest first. In each, the sessions stay in their order, which is another one for imported
 * sessions.
 *
 * @param {SessionItem[]} sessions
 * @param {Date} [now]
 */
export function dateGroups(sessions, now = new Date()) {
  /** @type {Map<number, {label: string, sessions: SessionItem[]}>} */
  const groups = new Map();
  for (const session of sessions) {
    const rank = rankOf(session, now);
    let group = groups.get(rank);
    if (!group) groups.set(rank, (group = { label: labelOf(rank, session), sessions: [] }));
    group.sessions.push(session);
  }
  return [...groups].sort(([one], [other]) => other - one).map(([, group]) => group);
}

/** @param {SessionItem} session @param {Date} now @returns {number} the later, the greater */
function rankOf({ pinned, usedAt }, now) {
  if (pinned) return PINNED;
  const used = new Date(usedAt);
  const days = dayOf(now) - dayOf(used);
  if (days <= 0) return TODAY;
  if (days === 1) return YESTERDAY;
  if (days <= 7) return WEEK;
  if (days <= 30) return MONTH;
  return used.getFullYear() * 12 + used.getMonth();
}

/** @param {number} rank @param {SessionItem} session */
function labelOf(rank, { usedAt }) {
  if (rank === PINNED) return TEXTS.pinned;
  if (rank === TODAY) return TEXTS.today;
  if (rank === YESTERDAY) return TEXTS.yesterday;
  if (rank === WEEK) return TEXTS.week;
  if (rank === MONTH) return TEXTS.month;
  return new Date(usedAt).toLocaleDateString(document.documentElement.lang, { month: "long", year: "numeric" });
}

/** @param {Date} time @returns {number} counts the days here, also those that have not 24 hours */
const dayOf = (time) => Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) / 86_400_000;
