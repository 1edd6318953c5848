-- How many attempts there are, counted one by one and not beyond {most}.
SELECT count(*) FROM (SELECT FROM {attempts} WHERE {conditions} LIMIT {most}) AS attempt
