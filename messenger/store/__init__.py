"""The only room that speaks SQL. Rows come out as domain values, failures as messenger errors."""
