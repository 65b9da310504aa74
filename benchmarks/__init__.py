"""Side-by-side measurements against other libraries; no part of the package. The tests run only their parts."""
