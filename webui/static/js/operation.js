// The telemarketing operation: histories are fetched when opened.

import "./load.js";
