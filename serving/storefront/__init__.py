"""Storefront: pages of the shop for merchandisers, with the reason of each recommendation."""

from serving.storefront.views import bp as bp
