"""Reading free text back: from a source's attributes and a text to the attributes that the text asks for.

`reader` does it, `counting` reads numbers, `synonyms` lists what people type.
"""
