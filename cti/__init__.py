"""What happens now: calls, agents, desks, and the ports that reach them."""
