"""Whether weights can be had from a model hub: its own clients retry for a minute before they give up."""

import os
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen


def hub_answers() -> bool:
    """Whether the model hub can be reached within 3 seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in ("0", "", "false", "no"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=3).close()
    except HTTPError:
        return True  # it answers, if not to this
    except (URLError, OSError, ValueError):
        return False
    return True


def something_cached() -> bool:
    """Whether any model was downloaded before."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return any(Path(HF_HUB_CACHE).glob("models--*"))
