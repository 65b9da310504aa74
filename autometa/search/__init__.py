"""The engine room: runs a study on a task."""
