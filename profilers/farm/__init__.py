"""A lab of phones as one Ray cluster: a Ray node a phone. Ray schedules, notices what is lost, and tries again."""
