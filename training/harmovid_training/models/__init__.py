"""The video diffusion models: pretrained backbones, their conditioning, and their loss.

    model = ConditionedModel(sizes.load("cogvideox-2b"), HARMOVID, empty_text)
    prediction = model(noisy, conditions, timesteps)          # all (B, channels, T, h, w) latents

Latents are `(B, C, T, h, w)` everywhere in this package, pictures `(B, 3, T, H, W)` in the VAE's range; each adapter
turns them into its backbone's own layout. docs/training.md walks through it.
"""
