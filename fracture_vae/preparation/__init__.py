"""Real studies in: folders of CTs and masks become a cohort, with a page of what looks wrong. No torch."""
