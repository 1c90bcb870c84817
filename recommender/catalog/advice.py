"""What a shop can do about each kind of problem, mostly what to write in its TOML."""

ADVICE = {
    "no id": '[catalog]\nid = "THE COLUMN"',
    "duplicate id": '[catalog]\nid = "{sku}-{size}"  # a column, or a template whose value each product has alone',
    "id in scientific notation": "Export the column as text: a spreadsheet has lost its digits.",
    "ids as floats": "Read ids with dtype=str: pandas makes floats of digits beside a missing cell.",
    "column not used": '[catalog]\ntitle = "name"  # the standard column, and the file\'s own name of it',
    "no image links": '[catalog]\nimage_link = "{id}.jpg"  # a column, or a template over columns',
    "missing photo": '[catalog]\nimages = "photos.zip"\nimage_link = "{id}.jpg"',
    "unknown availability": '[catalog.availability_words]\n"THE WORD" = "in_stock"  # or out_of_stock, preorder …',
    "availability guessed": '[catalog]\navailability = "THE COLUMN"  # of words, yes and no, or quantities',
    "mixed currencies": "Export prices of one currency: they are compared as numbers.",
    "bad timestamp": '[events]\ntimestamp_format = "%d/%m/%Y %H:%M"\ntimezone = "Europe/Berlin"',
    "timestamp in doubt": '[events]\ntimestamp_format = "%d/%m/%Y %H:%M"\ntimezone = "Europe/Berlin"',
    "unknown event name": '[events.weights]\n"THE NAME" = 1.0  # as much as a view; 0 is ignored',
    "event of an unknown product": '[events]\nitem_id = "THE COLUMN"  # with the ids of [catalog] id\n'
    "where = 'NOT item_id: ANY(\"POSTAGE\")'  # leaves out what is no product",
    "event without a user": '[events]\nuser_id = "THE COLUMN"',
    "bounded user": "[events]\nwhere = 'NOT user_id = \"THE BOT\"'",
}
