"""The playground, touched by mouse, finger and key; read by machine; linked and misused."""

from __future__ import annotations

import csv
import json
import random
import re
from typing import Any

import pytest

PLAY = "document.querySelector('gdx-playground')"


def trace(page: Any) -> list[dict[str, Any]]:
    return page.evaluate(f"{PLAY}.trace")


def centre(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_one_click_of_step_is_one_update(open_page: Any) -> None:
    page = open_page()
    page.get_by_role("button", name="Step", exact=True).click()
    rows = trace(page)
    assert [row["update"] for row in rows] == [0, 1]
    assert (rows[1]["w"], rows[1]["b"]) == pytest.approx(
        (1.5, 0.5), abs=1e-6
    )  # the course's first gradient is (-30, -10)
    assert (rows[0]["loss"], rows[1]["gradW"], rows[1]["gradB"]) == (30, -30, -10)
    assert (rows[0]["batch"], rows[0]["gradW"]) == ([], None)
    page.get_by_role("button", name="Step back").click()
    assert len(trace(page)) == 1


def test_reset_keeps_the_start_and_the_seed(open_page: Any) -> None:
    page = open_page()
    page.evaluate(f"{PLAY}.configure({{batch: 1, w: -1, b: 2, seed: 77}})")
    page.evaluate(f"{PLAY}.step(9)")
    first = trace(page)
    page.get_by_role("button", name="Reset").click()
    assert len(trace(page)) == 1
    page.evaluate(f"{PLAY}.step(9)")
    assert trace(page) == first


def test_the_rate_changes_in_the_middle_of_a_run_or_from_its_start(open_page: Any) -> None:
    page = open_page()
    page.evaluate(f"{PLAY}.step(5)")
    before = trace(page)
    rate = page.get_by_label("learning rate η", exact=True)
    rate.fill("0.01")
    rate.press("Enter")
    assert trace(page) == before
    page.get_by_role("button", name="Step", exact=True).click()
    step = trace(page)[6]
    assert step["w"] == pytest.approx(before[5]["w"] - 0.01 * step["gradW"], abs=1e-8)
    page.get_by_label("Start the run again when the rate changes").check()
    rate.fill("0.02")
    rate.press("Enter")
    assert trace(page)[1]["w"] == pytest.approx(0.02 * 30, abs=1e-6)
    assert len(trace(page)) == 7


def test_every_control_is_reached_by_key_and_has_a_name(open_page: Any) -> None:
    page = open_page()
    wanted = page.evaluate("""() => [...document.querySelectorAll(
      ".gdx-card :is(button, input, select, textarea, summary, [tabindex='0'])")]
      .filter((e) => !e.disabled && e.checkVisibility()).length""")
    page.evaluate("document.querySelector('gdx-playground').closest('figure').tabIndex = -1")
    page.evaluate("document.querySelector('gdx-playground').closest('figure').focus()")
    reached = set()
    for _ in range(wanted + 60):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => { const e = document.activeElement;
          if (!e.closest(".gdx-card")) return null;
          window.seen ||= []; if (!window.seen.includes(e)) window.seen.push(e);
          return window.seen.indexOf(e); }""")
        if found is not None:
            reached.add(found)
    assert len(reached) == wanted


def test_the_keys_move_the_start_a_point_and_the_run(open_page: Any) -> None:
    page = open_page()
    page.get_by_role("slider", name="Start", exact=True).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    assert (trace(page)[0]["w"], trace(page)[0]["b"]) == (-1, 0.1)
    page.get_by_role("slider", name="Point 2").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("slider", name="Point 2").get_attribute("aria-valuenow") == "3.9"
    page.keyboard.press("Delete")
    assert page.get_by_role("slider", name=re.compile(r"^Point \d")).count() == 3
    page.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("Enter")
    assert len(trace(page)) == 2


def test_the_mouse_drags_the_start_and_adds_and_removes_points(open_page: Any) -> None:
    page = open_page()
    page.evaluate("document.querySelector('gdx-playground').scrollIntoView({behavior: 'instant'})")
    x, y = centre(page.locator(".gdx-start .gdx-point"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y - 30, steps=4)
    page.mouse.up()
    assert trace(page)[0]["w"] > 0.2
    assert trace(page)[0]["b"] > 0.2
    plot = page.locator(".gdx-fit svg").bounding_box()
    page.mouse.dblclick(plot["x"] + 70, plot["y"] + 40)
    points = page.get_by_role("slider", name=re.compile(r"^Point \d"))
    assert points.count() == 5
    page.get_by_role("button", name="Remove the point chosen last").click()
    assert points.count() == 4


def test_a_finger_does_what_the_mouse_does(open_page: Any) -> None:
    page = open_page(has_touch=True, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Step", exact=True).tap()
    assert len(trace(page)) == 2
    page.evaluate("document.querySelector('.gdx-surface').scrollIntoView({behavior: 'instant', block: 'center'})")
    x, y = centre(page.locator(".gdx-start .gdx-point"))
    session = page.context.new_cdp_session(page)
    for kind, points in [
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + 20, "y": y + 10}]),
        ("touchMove", [{"x": x + 40, "y": y + 20}]),
        ("touchEnd", []),
    ]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert trace(page)[0]["w"] > 0.2
    assert trace(page)[0]["b"] < -0.1


def test_the_limit_follows_the_data_and_divergence_is_said_in_words(open_page: Any) -> None:
    page = open_page()
    limit = page.locator("gdx-playground .gdx-limit")
    assert "0.1198" in limit.inner_text()
    page.evaluate(f"{PLAY}.configure({{lr: 0.3}})")
    assert "Stability limit" in limit.inner_text()
    assert "above it" in limit.inner_text()
    page.evaluate(f"{PLAY}.step(2000)")
    words = page.locator("gdx-playground [role=status]").inner_text()
    assert "This run diverges" in words
    assert "above the stability limit 0.1198" in words
    text = page.locator("gdx-playground").inner_text()
    assert not re.search(r"NaN|Infinity|undefined", text)
    assert all(isinstance(row["w"], float | int) for row in trace(page))
    page.evaluate(f"{PLAY}.configure({{data: [[1, 1], [1, 3]]}})")
    assert "0.5" in limit.inner_text()  # H = [[2, 2], [2, 2]], lambda = 4


def test_runs_are_compared_from_one_start(open_page: Any) -> None:
    page = open_page()
    for _ in range(3):
        page.get_by_role("button", name="+ Compare with another run").click()
    page.evaluate(f"{PLAY}.step(4)")
    chips = page.locator(".gdx-chip")
    assert chips.count() == 4
    assert page.get_by_role("button", name="+ Compare with another run").is_disabled()
    assert "stochastic" in chips.nth(2).inner_text()
    assert "Momentum" in chips.nth(3).inner_text()  # not a third run over again
    records = page.evaluate(f"{PLAY}.runs.map((run) => JSON.stringify(run.rows))")
    assert len(set(records)) == 4
    assert page.evaluate(f"{PLAY}.runs.map((run) => [run.rows.length, run.rows[0].w])") == [[5, 0]] * 4
    page.get_by_role("button", name="Remove run 4").click()
    assert chips.count() == 3


def test_the_table_and_the_csv_hold_every_number(open_page: Any, tmp_path: Any) -> None:
    page = open_page()
    page.get_by_role("button", name="+ Compare with another run").click()
    page.evaluate(f"{PLAY}.step(6)")
    page.get_by_text("All numbers of this run").first.click()
    page.locator(".gdx-table tbody tr").nth(6).wait_for()
    assert page.locator(".gdx-table tbody tr").count() == 7
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    path = tmp_path / "run.csv"
    download.value.save_as(path)
    with path.open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["run"] == "2"]
    assert [float(row["w"]) for row in rows] == [row["w"] for row in trace(page)]
    assert rows[0]["gradient_w"] == ""


def test_a_link_holds_everything(open_page: Any) -> None:
    page = open_page()
    page.evaluate(
        f"{PLAY}.configure({{opt: 'rmsprop', batch: 2, lr: 0.07, beta: 0.8, w: -1.25, b: 1e-7, seed: 9, data: [[1, 2], [2.5, -3], [0, 1]]}})"
    )
    page.get_by_role("button", name="+ Compare with another run").click()
    page.evaluate(f"{PLAY}.step(5)")
    page.evaluate(f"{PLAY}.change({{lr: 0.02}})")
    page.evaluate(f"{PLAY}.step(5)")
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.get_by_role("button", name="Copy link", exact=True).click()
    link = page.evaluate("window.copied")
    again = open_page("explore/index.html#" + link.split("#")[1])
    assert trace(again) == trace(page)
    runs = f"{PLAY}.runs.map((run) => run.rows.map((row) => [row.w, row.b, row.lr])).sort()"
    assert again.evaluate(runs) == page.evaluate(runs)


HOSTILE = [
    "%E0%A4%A",
    "opt=%E0%A4%A",
    "opt=constructor",
    "opt=__proto__&batch=toString",
    "lr=1e999",
    "lr=-1&beta=2&batch=0&seed=-4&w=NaN&b=Infinity",
    "opt=&lr=&batch=&data=",
    "=&&==&opt",
    "batch=1.5",
    "data=" + ";".join("1,2" for _ in range(10_000)),
    "data=1,2,3;x",
    "also=constructor~1~1~1~1&also=&also=sgd",
    "opt=sgd&rates=9:x,y&step=1e9",
    "opt=%3Cscript%3Ealert(1)%3C/script%3E",
    "goto=constructor&weights=1,2",
    "goto=1e999&x=&graph=__proto__&weights=" + ",".join(["9" * 400] * 7),
]


def works(page: Any) -> bool:
    page.evaluate(f"{PLAY}.step(3)")
    rows = trace(page)
    finite = page.evaluate("document.querySelector('gdx-backprop').nodes.every((n) => Number.isFinite(n.value))")
    return len(rows) >= 4 and all(json.dumps(row) for row in rows) and finite


@pytest.mark.parametrize("hash_", [HOSTILE[1], HOSTILE[9], HOSTILE[-1]], ids=range(3))
def test_a_hostile_link_leaves_a_working_page(open_page: Any, hash_: str) -> None:
    assert works(open_page(f"explore/index.html#{hash_}"))


def test_hostile_links_that_are_followed_on_the_page_leave_it_working(open_page: Any) -> None:
    page = open_page()
    for hash_ in HOSTILE:
        page.get_by_role("button", name="Reset").click()  # or the rows of the link before would count
        follow(page, hash_)
        assert works(page), hash_


def follow(page: Any, hash_: str) -> None:
    """Follow a link to another state of the same page."""
    page.evaluate(
        """(hash) => new Promise((done) => {
        if (location.hash === "#" + hash) done();
        addEventListener("hashchange", () => setTimeout(done), {once: true});
        location.hash = hash; })""",
        hash_,
    )


def test_a_hostile_link_gets_a_clear_word(open_page: Any) -> None:
    page = open_page()
    for hash_, word in {
        "opt=constructor": "The optimizer must be one of",
        "lr=1e999": "The learning rate must be a number from",
        "lr=": "not nothing",
        "data=" + ";".join("1,2" for _ in range(10_000)): "not 10,000 points",
        "also=constructor~1~1~1~1": "The optimizer must be one of",
        "also=sgd~4~0.1~0.9~0&show=7": "The run that is shown must be a whole number from 0 to 1",
    }.items():
        follow(page, hash_)
        assert word in page.locator("gdx-playground [role=alert]").inner_text()


def test_hostile_settings_leave_the_run_as_it_was(open_page: Any) -> None:
    page = open_page()
    for bad in [
        {"opt": "constructor"},
        {"lr": 0},
        {"lr": "1e999"},
        {"data": []},
        {"data": [[1]]},
        {"data": [[1, 2]] * 10_000},
        {"beta": 1},
        {"hue": 3},
    ]:
        page.evaluate(f"(s) => {PLAY}.configure(s)", bad)
        assert page.locator("gdx-playground [role=alert]").inner_text() != ""
        page.evaluate(f"{PLAY}.step(2)")
        assert trace(page)[1]["w"] == pytest.approx(1.5, abs=1e-6)


def use(page: Any, text: str, *, scaled: bool = False) -> str:
    """Paste a text as the reader's own data; return what the page says."""
    box = page.locator("details", has=page.get_by_text("Your own data"))
    if not box.evaluate("(e) => e.open"):
        box.locator("summary").click()
    page.get_by_label("Two columns").evaluate(
        "(area, text) => { area.value = text; }", text
    )  # `fill` takes a minute for a megabyte
    page.get_by_label("Scale both columns").set_checked(scaled)
    page.get_by_role("button", name="Use this data").click()
    return page.locator("gdx-playground .gdx-extras [aria-live]").inner_text()


def test_the_readers_own_data_is_read_in_the_ways_in_which_tables_are_written(open_page: Any) -> None:
    page = open_page()
    for ways, text in {
        "commas": "1, 2\n3, 5",
        "tabs": "1\t2\n3\t5\n",
        "semicolons": "1;2\r\n3;5",
        "blanks": "1 2\n\n3   5",
        "names and quotes": '"x","y"\n"1","2"\n3,5',
        "more columns": "# a comment\n1.0,2,9\n3,5e0,9",
        "decimal commas": "1,0;2\n3;5,0",
    }.items():
        page.evaluate(f"{PLAY}.configure({{data: [[1, 1]]}})")
        assert use(page, text).startswith("2 points now."), ways
        assert page.evaluate(f"{PLAY}.setup.world.data") == [[1, 2], [3, 5]], ways
        page.evaluate(f"{PLAY}.step(3)")
        assert len(trace(page)) == 4, ways


def test_data_that_cannot_be_used_is_refused_in_clear_words(open_page: Any) -> None:
    page = open_page()
    for text, word in {
        "": "at least one line",
        "1,2\n3": "Line 2 must have two columns, x and y, not one",
        "1,2\n3,four": "Line 2: y must be a number, not “four”",
        "1,2\n,4": "Line 2: x must be a number, not nothing",
        "1,2\nNaN,4": "Line 2: x must be a number, not “NaN”",
        "1,2\n1e400,4": "Line 2: x must be a number, not “1e400”",
        "x,y": "at least one line",  # equal words stand apart: what is said once must not stay
        "1,2\n1e7,4": "Line 2: x must be from −1,000,000 to 1,000,000",
        "1,2 # " + "9" * 1_000_000: "at most 1,000,000 characters",
    }.items():
        said = use(page, text)
        assert word in said
        assert said.endswith("The data was left as it is.")
        assert page.evaluate(f"{PLAY}.setup.world.data") == [[1, 2], [2, 4], [3, 6], [4, 8]]


def test_a_dropped_file_is_thinned_and_scaled_and_the_page_says_how(open_page: Any) -> None:
    page = open_page()
    page.locator("summary", has_text="Your own data").click()
    page.get_by_label("Scale both columns").check()
    page.evaluate("""() => {
      const lines = Array.from({ length: 2000 }, (_, i) => `${1900 + i},${5e6 + 3000 * i}`);
      const carried = new DataTransfer();
      carried.items.add(new File([["year,people", ...lines].join("\\n")], "people.csv", { type: "text/csv" }));
      const drop = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
      document.querySelector("gdx-playground .gdx-card").dispatchEvent(drop); }""")
    said = page.locator("gdx-playground .gdx-extras [aria-live]", has_text="100 points now.")
    said.wait_for()
    for words in (
        "“year, people” was taken for the names",
        "of 2,000 lines one in 20 is used",
        "x is scaled: 0 stands for 2890",
    ):
        assert words in said.inner_text()
    columns = list(zip(*page.evaluate(f"{PLAY}.setup.world.data"), strict=True))
    assert len(columns[0]) == 100
    for column in columns:
        assert sum(column) / 100 == pytest.approx(0, abs=1e-4)
        assert sum(value**2 for value in column) / 100 == pytest.approx(1, abs=1e-4)
    page.evaluate(f"{PLAY}.configure({{lr: 0.3}})")
    page.evaluate(f"{PLAY}.step(200)")
    assert "Converged" in page.locator("gdx-playground [role=status]").inner_text()


def test_play_runs_and_stands_still_for_readers_who_asked_for_less_motion(open_page: Any) -> None:
    page = open_page()
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"{PLAY}.trace.length > 4")
    page.get_by_role("button", name="Pause", exact=True).click()
    stopped = len(trace(page))
    page.wait_for_timeout(250)
    assert len(trace(page)) == stopped
    calm = open_page(reduced_motion="reduce")
    calm.get_by_role("button", name="Play", exact=True).click()
    assert len(trace(calm)) > 20  # all at once
    assert calm.get_by_role("button", name="Pause").count() == 0


def test_play_ends_where_nothing_new_is_to_be_seen(open_page: Any) -> None:
    page = open_page()
    page.get_by_label("Speed of Play").select_option("very fast")
    for rate, word in ((0.1, "Converged"), (0.14, "This run diverges")):
        page.evaluate(f"{PLAY}.configure({{lr: {rate}}})")
        page.get_by_role("button", name="Play", exact=True).click()
        page.wait_for_function(f"{PLAY}.trace.length > 9 && !{PLAY}.playing")
        assert word in page.locator("gdx-playground [role=status]").inner_text()
        ended = len(trace(page))
        assert ended < 1000
        page.get_by_role("button", name="Step", exact=True).click()  # who wants to go on can
        assert len(trace(page)) == ended + 1
    play = page.get_by_role("button", name="Play", exact=True)  # again, from the start: seen before it gets far
    assert play.evaluate(f"button => {{ button.click(); return {PLAY}.trace.length; }}") < 10


def test_the_picture_follows_a_path_that_leaves(open_page: Any) -> None:
    page = open_page()
    page.evaluate(f"{PLAY}.configure({{lr: 0.16}})")
    for _ in range(4):
        page.evaluate(f"{PLAY}.step(20)")
        last = trace(page)[-1]
        places = page.evaluate(
            f"(() => {{ const s = {PLAY}.plots.surface; return [s.x({last['w']}), s.width, s.y({last['b']}), s.height]; }})()"
        )
        assert 0 < places[0] < places[1]
        assert 0 < places[2] < places[3]
    turns = page.locator(".gdx-surface .gdx-line").get_attribute("d").count("L")
    assert turns < 40  # what is too small to see is not drawn, and no band stays
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate(f"{PLAY}.plots.surface.xs[1]") < 6


def test_a_reload_brings_the_state_back(open_page: Any) -> None:
    page = open_page()
    assert page.evaluate("location.hash") == ""
    for _ in range(2):
        page.get_by_role("button", name="+ Compare with another run").click()
    page.locator(".gdx-chip button[aria-pressed]").nth(1).click()
    page.evaluate(f"{PLAY}.step(7)")
    page.get_by_label("learning rate η", exact=True).fill("0.021")
    page.keyboard.press("Enter")
    page.evaluate(f"{PLAY}.step(3)")
    page.wait_for_function("location.hash.includes('step=10')")
    numbers = f"[{PLAY}.setup.active, ...{PLAY}.runs.map((run) => run.rows.map((row) => [row.w, row.b, row.lr]))]"
    before = page.evaluate(numbers)
    page.reload()
    assert page.evaluate(numbers) == before
    page.evaluate("location.hash = '#opt=adam&lr=0.5&step=4'")  # a link followed in the same page
    page.wait_for_function(f"{PLAY}.run.settings.opt === 'adam' && {PLAY}.trace.length === 5")


def test_a_double_click_on_a_picture_chooses_no_text(open_page: Any) -> None:
    page = open_page()
    page.locator(".gdx-surface").scroll_into_view_if_needed()
    for plot in (".gdx-surface svg", ".gdx-fit svg", ".gdx-curve svg"):
        for text in page.locator(f"{plot} .gdx-axes text").all()[:3]:
            x, y = centre(text)
            page.mouse.dblclick(x, y)
            assert page.evaluate("getSelection().toString()") == ""


@pytest.mark.parametrize("width", [360, 1280])
def test_names_at_the_ends_of_axes_stay_in_the_picture(open_page: Any, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    for rate, updates in ((0.05, 10), (0.2, 30), (0.2, 300)):
        page.evaluate(f"{PLAY}.configure({{lr: {rate}}})")
        page.evaluate(f"{PLAY}.step({updates})")
        outside = page.evaluate("""() => [...document.querySelectorAll("gdx-playground .gdx-axes text")].filter((name) => {
          const [it, all] = [name.getBoundingClientRect(), name.closest("svg").getBoundingClientRect()];
          return it.left < all.left - 0.5 || it.right > all.right + 0.5; }).map((name) => name.textContent)""")
        assert not outside


def test_on_a_phone_the_rate_stands_under_the_surface(open_page: Any) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    top = page.locator(".gdx-surface svg").bounding_box()["y"]
    slider = page.get_by_label("Learning rate, log scale").bounding_box()
    assert slider["y"] + slider["height"] - top < 480


def test_the_stepper_steps_by_key_and_links_to_its_step(open_page: Any) -> None:
    page = open_page()
    stepper = page.locator("gdx-backprop")
    stepper.get_by_role("button", name="Next").focus()
    for _ in range(21):
        page.keyboard.press("ArrowRight")
    assert "is in" not in stepper.inner_text()
    assert "backward 15 of 15" in stepper.inner_text()
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.keyboard.press("ArrowLeft")
    stepper.get_by_role("button", name="Copy link to this step").click()
    again = open_page("explore/index.html#" + page.evaluate("window.copied").split("#")[1])
    assert again.locator("gdx-backprop .gdx-chain").inner_text() == stepper.locator(".gdx-chain").inner_text()


def test_the_stepper_of_a_rule_fills_slot_by_slot_with_the_numbers_put_in(open_page: Any) -> None:
    page = open_page()
    rule = page.locator("gdx-rule")
    rule.get_by_label("Rule", exact=True).select_option("adam")
    said, seen = rule.locator("[role=status]"), []
    for _ in range(5):
        rule.get_by_role("button", name="Next").click()
        seen.append(said.inner_text())
        assert rule.locator("[aria-current=step]").count() == 1
    words = ["Gradient", "Memory: mean", "Memory: mean square", "Correction", "Step"]
    assert [text.partition(" of update 1")[0] for text in seen] == words
    assert rule.locator(".gdx-empty").count() == 0
    first = page.evaluate("document.querySelector('gdx-rule').updates[0]")
    assert first["step"] == pytest.approx(-0.1, rel=1e-4)  # one rate, whatever the gradient
    assert shows(seen[-1].rpartition("= ")[2], first["w"], 6)
    field = rule.get_by_label("gradient of this update")
    field.fill("-4000")
    field.press("Enter")
    assert page.evaluate("document.querySelector('gdx-rule').updates[0].step") == pytest.approx(0.1, rel=1e-4)
    rule.get_by_role("button", name="Next").click()
    assert "Gradient of update 2" in said.inner_text()
    page.evaluate("document.querySelector('gdx-rule').configure({opt: '__proto__', lr: 'x', gradients: [NaN]})")
    assert rule.get_by_role("alert").inner_text().count("It was left as it is.") == 3
    assert re.search(r"NaN|undefined|Infinity", rule.inner_text().replace("not NaN", "")) is None


def test_the_sum_over_two_paths_is_written_out(open_page: Any) -> None:
    page = open_page()
    k = page.evaluate("""() => { const e = document.querySelector("gdx-backprop");
      const k = e.steps.findIndex((s) => s.backward && s.name === "x") + 1; e.goto(k); return k; }""")
    assert k > 0
    assert "along 2 paths" in page.locator("gdx-backprop .gdx-chain").inner_text()


def test_apply_the_update_lowers_the_loss_and_leads_to_the_playground(open_page: Any) -> None:
    page = open_page()
    loss = "document.querySelector('gdx-backprop').nodes.at(-1).value"
    before = page.evaluate(loss)
    page.get_by_role("button", name="Apply the update").click()
    assert page.evaluate(loss) < before
    page.get_by_role("link", name="Make many such updates in the playground").click()
    assert page.evaluate("location.hash") == "#gdx-playground"


def test_the_map_shows_its_run_in_the_playground(open_page: Any) -> None:
    page = open_page()
    places = page.locator("gdx-map svg.gdx-map")
    box = places.bounding_box()
    places.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.4})
    settings = page.evaluate(f"{PLAY}.run.settings")
    assert settings["opt"] == "momentum"
    assert 0.1 < settings["lr"] < 0.16
    assert 0.5 < settings["beta"] < 0.8
    assert len(trace(page)) == 31
    page.get_by_label("What the map is drawn over").select_option("batch")
    page.get_by_label("Batch size", exact=True).fill("2")
    page.get_by_role("button", name="Open this run in the playground").click()
    assert page.evaluate(f"{PLAY}.run.settings.batch") == 2
    assert page.locator("gdx-map .gdx-badge").inner_text().startswith("✓")


# Every text of the element with a number in it, and the trace of the same moment: a run that plays does not stand still.
SHOWN = """() => {
    const play = document.querySelector("gdx-playground");
    const words = (selector) => [...play.querySelectorAll(selector)].map((found) => found.textContent);
    return {
        trace: play.trace,
        longest: Math.max(...play.runs.map((run) => run.rows.length)) - 1,
        say: words(".gdx-say")[0],
        count: words(".gdx-count")[0],
        start: play.querySelector(".gdx-start").getAttribute("aria-valuetext"),
        code: words("pre")[0],
        rows: words("tbody tr").length,
        cells: words("tbody tr:last-child td"),
        what: words(".gdx-what")[0],
        gradients: words(".gdx-equations > div > p:first-child"),
        updated: words(".gdx-equations > div > p:last-child"),
    };
}"""
NUMBER = r"(−?[\d.]+(?:×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?)"
SIGNS = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")


def shows(text: str, value: float, digits: int = 4) -> bool:
    """Say whether a number written for reading is this one, rounded to so many digits (one less with a power of ten)."""
    mantissa, _, power = text.translate(SIGNS).partition("×10")
    half = 0.5001 * 10.0 ** (1 - digits + bool(power)) * abs(value)
    return abs(float(mantissa) * 10.0 ** int(power or 0) - value) <= half


def stale(shown: dict[str, Any]) -> list[str]:
    """Return what the element says that its trace does not."""
    first, last = shown["trace"][0], shown["trace"][-1]
    update, made = last["update"], last["update"] > 0
    # what is said, how it is written, and the numbers in it with their digits
    sayings = [
        (
            "say",
            rf"Update {update}: w = {NUMBER}, b = {NUMBER}, loss {NUMBER}\. ",
            [(last[k], 4) for k in ("w", "b", "loss")],
        ),
        ("count", rf"update {shown['longest']}$", []),
        ("start", rf"w {NUMBER}, b {NUMBER}$", [(first["w"], 4), (first["b"], 4)]),
        ("code", rf"batches\[:{update or 50}\]", []),
        ("what", rf"Update {update} used .*loss of the batch {NUMBER}$", [(last["batchLoss"], 4)])
        if made
        else ("what", "The first update will use", []),
    ]
    if made:
        for i, (name, gradient) in enumerate((("w", "gradW"), ("b", "gradB"))):
            shown |= {f"gradient of {name}": shown["gradients"][i], f"new {name}": shown["updated"][i]}
            sayings.append((f"gradient of {name}", rf" = {NUMBER}$", [(last[gradient], 6)]))
            sayings.append((f"new {name}", rf".* = {NUMBER}$", [(last[name], 6)]))
    wrong = [f"{what}: {shown[what]}" for what, pattern, values in sayings if not _said(shown[what], pattern, values)]
    cells = zip(shown["cells"][2:5], ("loss", "w", "b"), strict=True)
    if shown["rows"] != len(shown["trace"]) or not all(shows(cell, last[name], 6) for cell, name in cells):
        wrong.append(f"table: {shown['rows']} rows, the last {shown['cells']}")
    return wrong


def _said(text: str, pattern: str, values: list[tuple[float, int]]) -> bool:
    found = re.search(pattern, text)
    return bool(found) and all(shows(one, *value) for one, value in zip(found.groups(), values, strict=True))


@pytest.mark.parametrize("acts", [60, pytest.param(200, marks=pytest.mark.wide)])
def test_after_random_acts_every_number_shown_is_that_of_the_trace(open_page: Any, acts: int) -> None:
    page, chance = open_page(), random.Random(0)
    for name in ("All numbers of this run", "Keras code of this run"):
        page.locator("summary", has_text=name).click()

    def press(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    def drag() -> None:
        page.locator(".gdx-start").focus()
        page.keyboard.press(chance.choice(["ArrowUp", "ArrowLeft", "Shift+ArrowDown", "Shift+ArrowRight"]))

    def choose_batch() -> None:
        page.locator("input[name=batch]").focus()
        page.keyboard.press(chance.choice(["Home", "End", "ArrowLeft", "ArrowRight"]))

    def choose_rate() -> None:
        page.locator("gdx-playground input[name=lr]").fill(str(chance.choice([0.001, 0.02, 0.05, 0.11, 0.13, 0.5])))
        page.keyboard.press("Enter")

    def pause() -> None:
        button = page.get_by_role("button", name="Pause", exact=True)
        if button.count():  # a run that arrives stops by itself
            button.click()

    def play_a_while() -> None:
        press("Play")
        page.wait_for_timeout(chance.randrange(20, 120))
        assert stale(page.evaluate(SHOWN)) == []
        chance.choice([pause, lambda: press("Reset"), drag, choose_batch, choose_rate])()
        assert stale(page.evaluate(SHOWN)) == []
        page.evaluate(f"{PLAY}.pause()")

    def follow_a_link() -> None:
        page.evaluate(f"{PLAY}.configure({{opt: 'adam', lr: 0.1, batch: 2, seed: {chance.randrange(9)}}})")
        page.evaluate(f"{PLAY}.step({chance.randrange(200)})")

    def choose_rule() -> None:
        page.locator("select[name=opt]").select_option(index=chance.randrange(5))

    def compare() -> None:
        add = page.get_by_role("button", name="+ Compare with another run")
        if add.is_enabled():
            add.click()
        page.locator(".gdx-chip button[aria-pressed]").first.click()

    steps = [lambda: press("Step"), lambda: press("Reset"), lambda: press("Next seed")]
    ways = [play_a_while, play_a_while, drag, choose_batch, choose_rate, follow_a_link, choose_rule, compare, *steps]
    for act in range(acts):
        chance.choice(ways)()
        assert stale(page.evaluate(SHOWN)) == [], act
