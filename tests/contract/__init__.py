"""The shipped contract suites, on every adapter, and what each adapter promises beyond them."""
