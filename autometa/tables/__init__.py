"""Any table to typed columns, and to the two views that learners fit on."""
