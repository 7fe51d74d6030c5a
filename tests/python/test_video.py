"""A browser that plays a file over the gateway of a node which has nothing of it, and seeks in it.

Needs Debian's chromium and chromium-driver. Where they are missing this is skipped with one line,
or fails when QADOM_REQUIRE_BROWSER is set.
"""

import functools
import http.server
import json
import os
import shutil
import socket
import tempfile
import threading
import wave

import pytest

import qadom

selenium = pytest.importorskip("selenium", reason="skipped: selenium is not installed")
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
#: How long anything may take, in seconds; a loaded machine takes a while.
PATIENCE = 60
#: Far more than a browser fetches ahead: ten minutes of stereo sound, 115 MB.
SECONDS, RATE, FRAME = 600, 48_000, 4
#: Where the seek goes.
TARGET = 540

if not (BROWSER and DRIVER):
    if os.environ.get("QADOM_REQUIRE_BROWSER"):
        pytest.fail("install chromium and chromium-driver", pytrace=False)
    pytest.skip("skipped: no chromium with chromium-driver here", allow_module_level=True)


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="qadom-browser-") as profile:
        for argument in [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required",
            f"--user-data-dir={profile}",
        ]:
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_script_timeout(PATIENCE)
        yield driver
        driver.quit()


@pytest.fixture
def page(tmp_path):
    """A page of somebody else, which shows what the gateway serves; its address without the query."""
    (tmp_path / "index.html").write_text(
        "<!doctype html><title>film</title><video muted controls></video>"
        "<script>document.querySelector('video').src = location.hash.slice(1)</script>"
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def film(path):
    """A file that is a film without pictures: silence, but for a mark in each second."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(FRAME // 2)
        sound.setframerate(RATE)
        for second in range(SECONDS):
            sound.writeframesraw(second.to_bytes(FRAME, "little") * RATE)


def answered(driver, url):
    """The ranges that came since the last call, by where they begin."""
    ranges = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] != "Network.responseReceived":
            continue
        response = message["params"]["response"]
        if response["url"] == url:
            headers = {name.lower(): text for name, text in response["headers"].items()}
            assert response["status"] == 206, response
            ranges.append(int(headers["content-range"].split()[1].split("-")[0]))
    return ranges


def test_a_video_seeks_by_range_requests(browser, page, tmp_path):
    path = tmp_path / "film.wav"
    film(path)
    gateway = f"127.0.0.1:{free_port()}"
    with qadom.Daemon() as one, qadom.Daemon(arguments=["--gateway", gateway]) as two:
        with one.client() as client:
            shared = client.files.add(path, name="film.wav")
        with two.client() as client:
            client.join(one.address)
        url = f"http://{gateway}/name/film.wav"
        browser.get(f"{page}#{url}")
        wait = WebDriverWait(browser, PATIENCE, poll_frequency=0.05)

        def video(what):
            return browser.execute_script(
                f"const video = document.querySelector('video'); return {what}"
            )

        wait.until(lambda _: video("video.error || video.readyState >= 2"), "nothing to play")
        assert video("video.error && video.error.message") is None
        assert abs(video("video.duration") - SECONDS) < 1
        assert video("video.seekable.end(0)") > TARGET
        ends = video("Array.from(video.buffered, (_, part) => video.buffered.end(part))")
        assert all(end < TARGET for end in ends), "so much is not fetched ahead"
        begun = answered(browser, url)
        assert begun and begun[0] == 0, begun
        assert all(start < TARGET * RATE * FRAME for start in begun), begun

        browser.execute_async_script(
            "const [seconds, done] = arguments; const video = document.querySelector('video');"
            "video.addEventListener('seeked', () => done(), {once: true});"
            "video.currentTime = seconds;",
            TARGET,
        )
        assert video("video.error && video.error.message") is None
        browser.execute_script("document.querySelector('video').play()")
        wait.until(lambda _: video("video.currentTime") > TARGET + 0.5, "it does not play there")
        sought = answered(browser, url)
        # A range of its own that begins a little before the place, not the film up to there.
        assert any(start > (TARGET - 60) * RATE * FRAME for start in sought), sought
        with two.client() as client:
            assert not list(client.files.list()), "what a guest reads is nobody's own"
            assert client.files.status(shared.id).here < shared.chunks
