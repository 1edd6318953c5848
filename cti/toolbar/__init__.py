"""Port 44900: the CTI protocol for toolbars, and a client for it."""
