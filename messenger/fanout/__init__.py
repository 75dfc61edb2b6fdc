"""From an event to the devices of this node: each conversation's feed in order, what was missed repaired."""
