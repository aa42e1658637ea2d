// Names with two underscores on both sides, which are not bold: `__init__`, `obj.__custom__()`, `__all_names__`. As
// one word could be either, those of programming languages are known by name.

const NAME = /^__([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*)__(?![\p{L}\p{N}_])/u;
const USED = /^(?:[([]|\.\w| ?==? ?["'\d[(])/; // what follows a name in a program
const KNOWN = new Set(
  (
    "abs add aenter aexit aiter all and anext annotations author await bases bool builtins bytes call ceil " +
    "class closure code complex contains copy ctypes deepcopy debug defaults del delattr delete delitem dict " +
    "dir divmod doc enter eq exit file float floor floordiv format fspath future ge get getattr getattribute " +
    "getitem getnewargs getstate globals gt hash iadd iand import imatmul imod imul index init instancecheck " +
    "int invert ior ipow isub iter itruediv ixor kwdefaults le len loader lshift lt main matmul metaclass " +
    "missing mod module mro mul name ne neg new next or package path pos post pow prepare proto pycache " +
    "qualname radd rand rdivmod reduce repr reversed rfloordiv rlshift rmatmul rmod rmul ror round rpow rrshift " +
    "rshift rsub rtruediv rxor self set setattr setitem setstate sizeof slots spec str sub subclasscheck " +
    "subclasses subclasshook test tests truediv trunc version weakref wrapped xor mocks fixtures snapshots " +
    "typename schema FILE LINE DATE TIME TIMESTAMP FUNCTION CLASS DIR METHOD NAMESPACE TRAIT VERSION COUNTER " +
    "END DATA PACKAGE SUB func attribute declspec cplusplus global device host shared constant defineGetter " +
    "defineSetter"
  ).split(" "),
);

/** @type {import("../syntax.js").Syntax} */
export const dunder = {
  extensions: [
    {
      name: "dunder",
      level: "inline",
      start: (text) => /__/.exec(text)?.index,
      tokenizer(text, tokens) {
        const [raw, name = ""] = NAME.exec(text) ?? [];
        if (!raw || tokens.at(-1)?.raw.endsWith("_")) return undefined;
        const isName = KNOWN.has(name) || name.includes("_") || USED.test(text.slice(raw.length));
        return isName ? { type: "text", raw, text: raw } : undefined;
      },
    },
  ],
};
