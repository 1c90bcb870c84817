"""Pages for a merchandiser: the shop as its visitors would meet it, with the engine's reasons beside."""

from serving.storefront.views import bp as bp
