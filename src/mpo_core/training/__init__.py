"""The inner loop: a policy trained on preference rows with an objective."""
