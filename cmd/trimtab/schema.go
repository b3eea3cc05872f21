package main

// schemaVersion is the version of the objects that --json prints; it grows when a field changes its meaning or goes, not when one comes.
const schemaVersion = 1
