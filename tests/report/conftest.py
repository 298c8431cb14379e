"""Headless Chromium for the report and the site."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: make test installs it"
    )
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs a browser: make browser installs chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Open a file or an address; nothing may complain or come from elsewhere."""
    contexts, heard, fetched = [], [], []

    def hear(message):
        if message.type in ("error", "warning"):
            heard.append(message.text)

    def open_page(path, width=1400, scheme="light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", hear)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        is_address = str(path).startswith("http://127.0.0.1")
        page.goto(path if is_address else Path(path).resolve().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert heard == []
    assert {urlsplit(url).hostname for url in fetched} <= {None, "127.0.0.1"}
