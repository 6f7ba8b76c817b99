"""The page in a real browser: from starting a saga to compensating it, by mouse, by keyboard, and on a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, expect

from sagaflow import Engine
from tests.web.conftest import TOKEN, serving
from tests.web.sagas import Letter, Order, Post, Sell

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@asynccontextmanager
async def opened(browser: Browser, address: str, **settings: Any) -> AsyncIterator[Page]:
    """The page, which must not complain: a policy that is broken, a fault in a script."""
    context = await browser.new_context(**settings)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        # That a request was answered by a problem, the browser says by itself.
        lambda said: (
            complaints.append(said.text)
            if said.type in ("error", "warning") and "Failed to load resource" not in said.text
            else None
        ),
    )
    await page.goto(address)
    try:
        yield page
        assert complaints == []
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth"), (
            "it is wider than the screen"
        )
    finally:
        await context.close()


async def start(page: Page, saga_id: str, context: str = '{"customer": "ada", "cents": 9900, "card": "4111"}') -> None:
    await page.get_by_role("button", name="Start a saga").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Saga", exact=True).select_option("Sell")
    await dialog.get_by_label("Context").fill(context)
    await dialog.get_by_label("Id").fill(saga_id)
    await dialog.get_by_role("button", name="Start").click()


async def test_a_saga_is_started_answered_and_compensated_by_clicks(browser: Browser, engine: Engine) -> None:
    async with serving(engine, redact=["card"]) as address, opened(browser, address) as page:
        await expect(page.get_by_text("Nothing is under way.")).to_be_visible()
        await start(page, "o/1")

        await expect(page.get_by_role("heading", name="o/1")).to_be_visible()
        await expect(page.locator(".waits")).to_contain_text("step 'pay' waits for an answer from outside")
        await expect(page.locator('[data-step="reserve"][data-status="completed"]')).to_be_visible()
        await expect(page.locator(".payload").first).to_contain_text("[redacted]")

        await page.locator('[data-step="pay"]').click()
        await page.get_by_role("button", name="Answer it").click()
        await page.get_by_label("Output").fill('{"reference": "tx-1", "amount": "99.00"}')
        await page.get_by_role("button", name="Answer", exact=True).click()
        await expect(page.locator(".hero .badge")).to_have_text("completed")
        await page.locator("summary", has_text="send").click()
        await expect(page.locator('[data-key="step send"]')).to_contain_text("ada paid 99.00")

        await page.get_by_role("button", name="Compensate").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.locator(".waves li")).to_have_text(
            [re.compile("pay.*refund"), re.compile("reserve.*release")]
        )
        await dialog.get_by_label("Who you are").fill("grace")
        await dialog.get_by_label("Why").fill("she has changed her mind")
        await dialog.get_by_role("button", name="Compensate").click()
        await expect(page.locator(".hero .badge")).to_have_text("compensated")
        await expect(page.locator(".acts")).to_contain_text("compensate by grace")
        await expect(page.locator(".acts")).to_contain_text("she has changed her mind")
    (act,) = (await engine.get("o/1")).acts
    assert (act.what, act.by, act.reason) == ("compensate", "grace", "she has changed her mind")


async def test_what_others_do_is_seen_without_a_reload(browser: Browser, engine: Engine) -> None:
    async with serving(engine) as address, opened(browser, address) as page:
        handle = await engine.start(Sell, Order("ada"), id="o-1")
        await expect(page.get_by_role("link", name=re.compile("o-1 Sell"))).to_be_visible()
        await page.get_by_role("link", name=re.compile("o-1 Sell")).click()
        await page.locator("summary", has_text="reserve").click()
        await engine.cancel("o-1", reason="the customer has called", by="grace")
        await handle.wait()
        await expect(page.locator(".hero .badge")).to_have_text("compensated")
        await expect(page.locator('[data-key="step reserve"]')).to_have_attribute("open", "")


async def test_a_failed_saga_is_found_understood_and_resolved(browser: Browser, engine: Engine) -> None:
    await (await engine.start(Post, Letter("Rome"), id="p-1")).wait()
    async with serving(engine) as address, opened(browser, address) as page:
        await page.get_by_role("link", name=re.compile("failed")).first.click()
        await page.get_by_role("link", name="p-1").click()
        await expect(page.locator(".reason")).to_contain_text("compensation 'call_back' of step 'stamp' failed")
        await page.locator("summary", has_text="stamp").first.click()
        step = page.locator('[data-key="step stamp"]')
        await expect(step).to_contain_text("the card 4111 is in the envelope")
        await step.get_by_role("button", name="It was undone by hand").click()
        await page.get_by_label("Who you are").fill("grace")
        await page.get_by_label("Why").fill("fetched it myself")
        await page.get_by_role("dialog").get_by_role("button", name="It was undone by hand").click()
        await expect(page.locator(".hero .badge")).to_have_text("compensated")


async def test_the_list_is_filtered_and_searched_and_its_address_can_be_kept(browser: Browser, engine: Engine) -> None:
    for number in range(60):
        await engine.start(Sell, Order("ada"), id=f"o-{number:02}")
    await (await engine.start(Post, Letter("Rome"), id="p-1")).wait()
    async with serving(engine) as address, opened(browser, address + "#/sagas") as page:
        rows = page.locator("table.sagas tbody tr")
        await expect(rows).to_have_count(50)
        await page.get_by_role("link", name="Older").click()
        await expect(rows).to_have_count(11)
        await page.get_by_role("button", name="failed").click()
        await expect(rows).to_have_count(1)
        await page.reload()
        await expect(rows).to_have_count(1)
        await page.get_by_role("button", name="failed").click()
        await page.get_by_role("searchbox").fill("o-1")
        await page.get_by_role("searchbox").press("Enter")
        await expect(rows).to_have_count(10)


async def test_a_saga_is_started_with_tags_and_others_with_them_are_a_click_away(
    browser: Browser, engine: Engine
) -> None:
    for number in range(3):
        await engine.start(Sell, Order("ada"), id=f"o-{number}", tags=["vip", "web"][: 2 - number % 2])
    async with serving(engine) as address, opened(browser, address) as page:
        rows = page.locator("table.sagas tbody tr")
        await page.get_by_role("button", name="Start a saga").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Saga", exact=True).select_option("Sell")
        await dialog.get_by_label("Id").fill("o-3")
        await dialog.get_by_label("Tags").fill("vip, channel:phone")
        await dialog.get_by_role("button", name="Start").click()
        await expect(page.locator(".hero .tag")).to_have_text(["vip", "channel:phone"])
        await page.locator(".hero .tag", has_text="vip").click()
        await expect(rows).to_have_count(4)
        await rows.nth(1).get_by_role("link", name="web").click()
        await expect(rows).to_have_count(2)
        await expect(page.get_by_label("Tags")).to_have_value("vip web")
        await page.reload()
        await expect(rows).to_have_count(2)
        await page.get_by_label("Tags").fill("vip")
        await page.get_by_label("Tags").press("Enter")
        await expect(rows).to_have_count(4)
        await page.get_by_label("Tags").fill("")
        await page.get_by_role("searchbox").fill("o-1")
        await page.get_by_role("searchbox").press("Enter")
        await expect(rows).to_have_count(1)
    assert (await engine.get("o-3")).tags == ("vip", "channel:phone")


async def test_what_is_wrong_is_said_where_it_was_written(browser: Browser, engine: Engine) -> None:
    async with serving(engine) as address, opened(browser, address) as page:
        await start(page, "o-1", "{customer}")
        problem = page.get_by_role("dialog").get_by_role("alert")
        await expect(problem).to_contain_text("The context is no JSON")
        await page.get_by_label("Context").fill('{"customer": 7}')
        await page.get_by_role("dialog").get_by_role("button", name="Start").click()
        await expect(problem).to_contain_text("Expected `str`, got `int` - at `$.customer`")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_everything_is_done_by_the_keyboard_alone(browser: Browser, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    async with serving(engine) as address, opened(browser, address) as page:
        await expect(page.get_by_role("link", name=re.compile("o-1 Sell"))).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        for _ in range(30):
            await page.keyboard.press("Tab")
            if "o-1" in await page.evaluate("document.activeElement.textContent"):
                break
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="o-1")).to_be_visible()
        for _ in range(30):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "Cancel":
                break
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("Undone, in this order")
        await page.get_by_label("Who you are").focus()
        await page.keyboard.type("grace")
        await page.keyboard.press("Tab")
        await page.keyboard.type("by hand")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".hero .badge")).to_have_text("compensated")


async def test_a_phone_shows_all_of_it_in_its_width(browser: Browser, engine: Engine) -> None:
    tags = [f"a-tag-that-is-long-too-{number}-".ljust(64, "x") for number in range(16)]
    await engine.start(
        Sell, Order("ada"), id="o-with-a-name-that-is-longer-than-any-phone-is-wide-" + "x" * 60, tags=tags
    )
    for part in "", "#/sagas", "#/saga/o-with-a-name-that-is-longer-than-any-phone-is-wide-" + "x" * 60:
        async with serving(engine) as address, opened(browser, address + part, **PHONE) as page:
            await expect(page.get_by_text("o-with-a-name").first).to_be_visible()


async def test_the_colours_are_those_of_the_system_until_somebody_chooses(browser: Browser, engine: Engine) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    async with serving(engine) as address, opened(browser, address, color_scheme="dark") as page:
        dark = await page.evaluate(colour)
        await page.get_by_role("button", name="Change between light and dark").click()
        light = await page.evaluate(colour)
        assert light != dark
        await page.reload()
        assert await page.evaluate(colour) == light


async def test_a_stranger_signs_in_with_the_token_and_out_again(browser: Browser, engine: Engine) -> None:
    async with serving(engine, token=TOKEN) as address, opened(browser, address) as page:
        await page.get_by_label("Token").fill("a-wrong-one-of-some-length")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("that is not the token")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("Nothing is under way.")).to_be_visible()
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Token")).to_be_visible()


async def test_a_page_that_is_read_only_offers_no_acts(browser: Browser, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    async with serving(engine, read_only=True) as address, opened(browser, address + "#/saga/o-1") as page:
        await expect(page.get_by_role("heading", name="o-1")).to_be_visible()
        await expect(page.get_by_text("read only")).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile("Cancel|Compensate|Pause|Start a saga"))).to_have_count(
            0
        )


async def test_text_of_customers_is_shown_and_never_run(browser: Browser, engine: Engine) -> None:
    nasty = "<img src=x onerror=document.title='run'><script>document.title='run'</script>"
    await engine.start(Sell, Order(nasty), id=nasty)
    async with serving(engine) as address, opened(browser, address + "#/sagas") as page:
        await page.get_by_role("link", name=nasty).click()
        await expect(page.get_by_role("heading", name=nasty)).to_be_visible()
        await expect(page.locator(".payload").first).to_contain_text("onerror")
        assert await page.title() != "run"
