"""What tests are made of: databases, nodes, and people with devices."""
