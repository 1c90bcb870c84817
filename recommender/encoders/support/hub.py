"""Check whether a model hub is reachable: its own clients retry for a minute before they give up."""

import os
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


def hub_answers() -> bool:
    """Return whether the model hub answers within 3 seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("0", "", "false", "no"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=3).close()
    except HTTPError:
        return True  # it is there
    except (URLError, OSError, ValueError):
        return False
    return True


def something_cached() -> bool:
    """Return whether any model was downloaded before."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return any(Path(HF_HUB_CACHE).glob("models--*"))
