"""Whether two versions of the code give equal answers: draw requests, record their answers, compare recordings."""
