"""What people edit: YAML files, read with positions, and the wording of what is wrong in them."""
