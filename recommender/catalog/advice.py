"""What a shop can write in its TOML about each kind of problem."""

ADVICE = {
    "no image links": '[catalog]\nimage_link = "{id}.jpg"  # a column, or a template over columns',
    "bad timestamp": '[events]\ntimestamp_format = "%d/%m/%Y %H:%M"\ntimezone = "Europe/Berlin"',
    "unknown event name": '[events.weights]\n"THE NAME" = 1.0  # as much as a view; 0 is ignored',
    "event of an unknown product": '[events]\nitem_id = "THE COLUMN"  # with the ids of [catalog] id\n'
    'where = "..."  # leaves out what is no product, such as postage',
    "duplicate id": '[catalog]\nid = "{sku}-{size}"  # a column, or a template whose value each product has alone',
    "missing photo": '[catalog]\nimages = "photos.zip"  # the folder or zip that image_link is relative to',
    "no id": '[catalog]\nid = "THE COLUMN"',
}
