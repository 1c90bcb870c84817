"""Read files of any format to tables that know the row numbers of the file."""
