"""Changes made here: captured as they are made, kept on a tape, turned into SQL.

| file | holds |
| --- | --- |
| ``names.py`` | names of our own tables |
| ``model.py`` | changes and transactions |
"""
