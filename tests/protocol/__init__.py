"""Every state that a small saga, and a small cluster around it, can come to: explored to the last one."""
