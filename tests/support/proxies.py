"""Proxies in front of chatproxy, each with the configuration that a test gives it.

    async with running(PROXIES["nginx"], folder, port, "server { listen 127.0.0.1:@PORT@; ... }"):
        ...

What a test replaces in a configuration stands between two `@`.
"""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from processes import ROOT

DEPLOY: Final = ROOT / "deploy"
IS_ROOT: Final = os.geteuid() == 0
NGINX: Final = """
daemon off;
@USER@
worker_processes 1;
pid @FOLDER@/pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path @FOLDER@/body;
    proxy_temp_path @FOLDER@/proxy;
    fastcgi_temp_path @FOLDER@/fastcgi;
    uwsgi_temp_path @FOLDER@/uwsgi;
    scgi_temp_path @FOLDER@/scgi;
    include @FOLDER@/site;
}
"""
APACHE: Final = """
ServerRoot @FOLDER@
PidFile @FOLDER@/pid
ErrorLog /dev/stderr
@USER@
Listen 127.0.0.1:@PORT@
@MODULES@
Include @FOLDER@/site
"""
MODULES: Final = "\n".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
    for name in (
        *("mpm_event", "authn_core", "authz_core", "authn_file", "auth_basic", "authz_user"),
        *("headers", "proxy", "proxy_http", "socache_shmcb", "ssl", "deflate", "filter"),
    )
)


@dataclass(frozen=True)
class Proxy:
    """One of `deploy/`, and what it takes to run it in a folder of the test's."""

    file: str
    command: str
    arguments: tuple[str, ...]
    around: str  # the configuration that includes the file as @FOLDER@/site; "" if the file is whole
    moved: Mapping[str, str]  # what is elsewhere in a test
    compressed: tuple[str, str]  # what to replace for streams to be compressed
    user: str = ""  # the line that says who works if root starts it

    @property
    def text(self) -> str:
        return (DEPLOY / self.file).read_text()

    def recipe(self) -> tuple[list[str], list[str]]:
        """Return the settings and the lines to type that are in the head of the file."""
        settings, lines = re.findall(r"((?:^#   .*\n)+)", self.text, re.MULTILINE)
        return [line[4:] for line in settings.splitlines()], [line[4:] for line in lines.splitlines()]


PROXIES: Final = {
    "nginx": Proxy(
        "nginx.conf",
        "nginx",
        ("-p", "@FOLDER@", "-e", "stderr", "-c", "@FOLDER@/main"),
        NGINX,
        {"listen 443 ssl": "listen 127.0.0.1:@PORT@ ssl"},
        ("proxy_buffering off;", "proxy_buffering off; gzip on; gzip_types *; gzip_proxied any;"),
        "user www-data;",
    ),
    "caddy": Proxy(
        "Caddyfile",
        "caddy",
        ("run", "--adapter", "caddyfile", "--config", "@FOLDER@/main"),
        "{\n admin off\n auto_https off\n}\nimport @FOLDER@/site\n",
        {
            "chat.example {": "https://chat.example:@PORT@ {\n bind 127.0.0.1\n"
            " tls @FOLDER@/ssl/chat.example.pem @FOLDER@/ssl/private/chat.example.key"
        },
        ("reverse_proxy", "encode gzip\n\treverse_proxy"),
    ),
    "apache": Proxy(
        "apache.conf",
        "apache2",
        ("-D", "FOREGROUND", "-f", "@FOLDER@/main"),
        APACHE,
        {"*:443": "127.0.0.1:@PORT@"},
        ("ProxyPreserveHost On", "ProxyPreserveHost On\n SetOutputFilter DEFLATE"),
        "User www-data",
    ),
    "haproxy": Proxy(
        "haproxy.cfg",
        "haproxy",
        ("-db", "-f", "@FOLDER@/main"),
        "",
        {":443": "127.0.0.1:@PORT@", "/etc/ssl/private/chat.example.pem": "@FOLDER@/ssl/both.pem"},
        ("mode http", "mode http\n    compression algo gzip\n    compression type text/event-stream"),
    ),
}


def need(*commands: str) -> None:
    """Skip the test without one of these; fail in CI, where nothing may be skipped."""
    if absent := [command for command in commands if shutil.which(command) is None]:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed: {', '.join(absent)}")


@asynccontextmanager
async def running(proxy: Proxy, folder: Path, port: int, site: str) -> AsyncIterator[None]:
    """Run a proxy with that configuration while the block runs."""

    values = {
        "@FOLDER@": str(folder),
        "@PORT@": str(port),
        "@USER@": proxy.user if IS_ROOT else "",
        "@MODULES@": MODULES,
    }

    def here(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    (folder / "site").write_text(here(site))
    (folder / "main").write_text(here(proxy.around or site))
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    if (default := folder / "default" / "haproxy").exists():
        variables |= dict(line.split("=", 1) for line in default.read_text().splitlines())
    child = await asyncio.create_subprocess_exec(
        proxy.command, *map(here, proxy.arguments), env=variables, cwd=folder
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has failed
            child.terminate()
        await child.wait()
