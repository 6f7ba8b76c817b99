"""Other engines, each as its own documentation recommends, in a virtual environment of its own."""
