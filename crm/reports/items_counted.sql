-- How many items there are, counted one by one and not beyond {most}.
SELECT count(*) FROM (SELECT FROM {items} WHERE {conditions} LIMIT {most}) AS item
