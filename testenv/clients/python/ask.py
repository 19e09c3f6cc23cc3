"""Asks an MCP server as a program in Python does: lists its tools, calls one, prints what it got as one JSON object.

    ask.py mcp|fastmcp auto|modern|legacy TOOL ARGUMENTS http URL
    ask.py mcp|fastmcp auto|modern|legacy TOOL ARGUMENTS stdio PROGRAM [ARGUMENT...]

TOKEN in the environment is sent as a bearer token over HTTP. With SIGN_IN (a JSON object: client_id, redirect_uri,
username, password, ca_file) and without TOKEN, the client of the MCP SDK signs in by itself as OAuth says.
"""

import asyncio
import json
import os
import re
import ssl
import sys
import urllib.parse

import fastmcp
import fastmcp.client.auth
import fastmcp.client.transports
import httpx2
import mcp
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

# How both libraries name a generation of the protocol; `auto` finds out.
MODES = {"auto": "auto", "modern": "2026-07-28", "legacy": "legacy"}
TIMEOUT = 60


async def main(library, era, tool, arguments, transport, *rest):
    arguments = json.loads(arguments)
    async with open_client(library, MODES[era], transport, rest) as client:
        tools = await client.list_tools()
        tools = getattr(tools, "tools", tools)
        call = client.call_tool_mcp if library == "fastmcp" else client.call_tool
        called = await call(tool, arguments)
        report = {
            "revision": client.protocol_version,
            "tools": [tool.name for tool in tools],
            "text": "\n".join(block.text for block in called.content if block.type == "text"),
            "is_error": bool(called.is_error),
        }
    print(json.dumps(report))


def open_client(library, mode, transport, rest):
    token = os.environ.get("TOKEN")
    if library == "fastmcp":
        if transport == "stdio":
            transport = fastmcp.client.transports.StdioTransport(command=rest[0], args=list(rest[1:]))
            return fastmcp.Client(transport, mode=mode, timeout=TIMEOUT)
        auth = fastmcp.client.auth.BearerAuth(token) if token else None
        return fastmcp.Client(rest[0], auth=auth, mode=mode, timeout=TIMEOUT)
    if transport == "stdio":
        server = StdioServerParameters(command=rest[0], args=list(rest[1:]))
        return mcp.Client(server, mode=mode, read_timeout_seconds=TIMEOUT)
    sign_in = json.loads(os.environ.get("SIGN_IN", "null"))
    options = {"timeout": TIMEOUT}
    if token:
        options["headers"] = {"Authorization": f"Bearer {token}"}
    elif sign_in:
        options["auth"] = SignIn(sign_in).provider(rest[0])
        options["verify"] = ssl.create_default_context(cafile=sign_in["ca_file"])
    http = httpx2.AsyncClient(**options)
    return mcp.Client(streamable_http_client(rest[0], http_client=http), mode=mode, read_timeout_seconds=TIMEOUT)


class SignIn:
    """The person before the browser, and the storage of a client that a realm's administrator has registered."""

    def __init__(self, given):
        self.given = given
        self.tokens = None
        self.answer = None

    def provider(self, url):
        metadata = OAuthClientMetadata(
            redirect_uris=[self.given["redirect_uri"]], token_endpoint_auth_method="none", client_name="ask.py"
        )
        return OAuthClientProvider(
            url, metadata, self, redirect_handler=self.open_browser, callback_handler=self.wait_for_callback
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return OAuthClientInformationFull(
            client_id=self.given["client_id"],
            redirect_uris=[self.given["redirect_uri"]],
            token_endpoint_auth_method="none",
        )

    async def set_client_info(self, client_info):
        raise RuntimeError("a client that is registered already need not register")

    async def open_browser(self, url):
        """Opens the page of the realm, writes name and password into its form, and stops at the redirect back."""
        verify = ssl.create_default_context(cafile=self.given["ca_file"])
        async with httpx2.AsyncClient(verify=verify, timeout=TIMEOUT) as browser:
            page = await browser.get(url)
            page.raise_for_status()
            if not re.search(r'<form method="post">', page.text):
                raise RuntimeError(f"no form to sign in with: {page.text}")
            fields = {name: self.given[name] for name in re.findall(r'<input name="(\w+)"', page.text)}
            back = await browser.post(url, data=fields)
        location = back.headers.get("location", "")
        if back.status_code != 302 or not location.startswith(self.given["redirect_uri"]):
            raise RuntimeError(f"the realm answered {back.status_code} {location} {back.text}")
        answer = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
        self.answer = {name: values[0] for name, values in answer.items()}

    async def wait_for_callback(self):
        if "error" in self.answer:
            raise RuntimeError(f"the realm said {self.answer}")
        return AuthorizationCodeResult(**{name: self.answer.get(name) for name in ("code", "state", "iss")})


asyncio.run(asyncio.wait_for(main(*sys.argv[1:]), 3 * TIMEOUT))
