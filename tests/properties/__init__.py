"""What holds for every saga and every history, searched for counterexamples by Hypothesis."""
