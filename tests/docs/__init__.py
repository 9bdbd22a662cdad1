"""The pages of the documentation: their form, their code, and the site that is built of them."""
