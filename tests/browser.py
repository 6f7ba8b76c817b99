"""The browser of the system: what Playwright would fetch by itself cannot be had everywhere."""

import os
import shutil


class Chromium:
    """Where it is, if it is anywhere."""

    path = os.environ.get("SAGAFLOW_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    # Its sandbox does not start for root, as whom tests run in containers; only our own page is opened.
    arguments = ("--no-sandbox",)

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot be started here; None if it can."""
        return None if cls.path else "Chromium is not installed: apt-get install chromium"
