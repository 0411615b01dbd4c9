"""The class of Mirror Preference Optimization objectives: maps, learned members, distillation."""
