"""Studio: pages where merchandisers edit placements, rules and collections, with a preview of each change."""

from serving.studio import collections as collections
from serving.studio import sign_in as sign_in
from serving.studio.views import bp as bp
