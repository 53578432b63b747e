"""`python -m baldro.config` writes what is generated from the models: workflow/config.schema.yaml and docs/keys.md."""

from baldro.config.keys import files

for path, text in files().items():
    path.write_text(text, encoding="utf-8")
    print(path)
