"""What happens between pytest's hooks and the layers below: collecting, playing, judging, reporting."""
