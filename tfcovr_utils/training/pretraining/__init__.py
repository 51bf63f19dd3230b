"""The small foundation weights of the rendered benchmark, trained on single frames and their captions.

`mini_clip` makes the CLIP, `mini_blip` the BLIP, the captioner and the Q-Former that `blip_models` builds;
`captioned` holds the pictures, losses and card that all share. Nothing here sees a benchmark's clips or
labels.
"""
