"""Parse columns of cells: strings, lists, numbers, moments, prices and markup."""
