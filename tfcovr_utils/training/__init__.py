"""Training: the paper's two stages, what goes past them, and the loop that runs them all.

It knows benchmarks, embeddings and encoders, and no row of the tables. Open `losses` for L_v, `fusion` for
the MLP of clip and text, `stage1` and `stage2` for the stages, `single_stage` for both at once, `loop` for
the training loop, `settings` for every number. `recipes` names the ways to learn an encoder and `teaching`
trains one; `readers` and `towers` are the networks over frames and texts. `stage1_clips`, `stage2_inputs`,
`from_release` and `official_checkpoint` read what is trained on, `label_accuracy` says what stage 1 gets
right, and `pretraining/` makes the rendered benchmark's foundation weights.
"""
