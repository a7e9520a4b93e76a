"""A person with a browser: Chromium, driven by Selenium, that finds the site by its name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from e2e.app import DOMAIN, Site
from kamalstream import programs

_PATIENCE = 60


class Browser:
    """Tabs of one Chromium, numbered from 0."""

    def __init__(self, driver: Chrome) -> None:
        """Take a driver that has one tab."""
        self._driver = driver

    def open(self, tab: int) -> None:
        """Show the site's page in `tab`, new or not, once it listens for what others write."""
        while len(self._driver.window_handles) <= tab:
            self._driver.switch_to.new_window("tab")
        self._at(tab)
        self._driver.get(f"https://{DOMAIN}/")
        # turbo-rails sets it when Action Cable has confirmed the subscription.
        self._wait_for("turbo-cable-stream-source[connected]")

    def write(self, tab: int, body: str, picture: Path | None = None) -> None:
        """Fill in the form and send it."""
        self._at(tab)
        find = self._driver.find_element
        find(By.NAME, "note[body]").send_keys(body)
        if picture:
            find(By.NAME, "note[picture]").send_keys(str(picture))
        find(By.NAME, "commit").click()

    def sees(self, tab: int, body: str) -> str:
        """Wait for a note in `tab`, without loading the page again; return all that it says.

        Raises:
            selenium.common.TimeoutException: it does not come.
        """
        self._at(tab)
        note = self._wait_for(f"//li[contains(., '{body}')]", By.XPATH)
        return note.text

    def picture(self, tab: int, name: str) -> tuple[int, int]:
        """Wait for the picture called `name` in `tab`; return its width and height as shown."""
        self._at(tab)
        image = self._wait_for(f"img[alt='{name}']")
        size = "const i = arguments[0]; return i.complete && [i.naturalWidth, i.naturalHeight]"
        wait = WebDriverWait(self._driver, _PATIENCE)
        width, height = wait.until(lambda driver: driver.execute_script(size, image))
        return int(width), int(height)

    def screenshot(self, tab: int, file: Path) -> None:
        """Write what `tab` shows to a PNG."""
        self._at(tab)
        self._driver.save_screenshot(str(file))

    def _at(self, tab: int) -> None:
        self._driver.switch_to.window(self._driver.window_handles[tab])

    def _wait_for(self, what: str, how: str = By.CSS_SELECTOR) -> WebElement:
        wait = WebDriverWait(self._driver, _PATIENCE)
        return wait.until(lambda driver: driver.find_element(how, what))


@contextmanager
def browser(site: Site) -> Iterator[Browser]:
    """Yield a browser that reaches `site` by its domain, and takes its certificate."""
    options = ChromeOptions()
    options.binary_location = str(programs.find("chromium"))
    with tempfile.TemporaryDirectory(prefix="kamalstream-browser-") as profile:
        for argument in (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            # What Chromium would ask of the outside.
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            f"--host-resolver-rules=MAP {DOMAIN}:443 {site.address}",
            "--ignore-certificate-errors",
            "--window-size=800,600",
        ):
            options.add_argument(argument)
        driver = Chrome(options, Service(str(programs.find("chromedriver"))))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
