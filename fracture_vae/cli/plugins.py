"""``plugins``: what is registered, and by whom."""

import sys

import click


@click.command()
def plugins() -> None:
    """List what is registered, from where, with its one-line description."""
    from fracture_vae import registry

    loaded = registry.load_plugins()
    for component in registry.components():
        click.echo(f"{component.store:11} {component.name:20} {component.origin:45} {component.description}")
    for plugin in loaded:
        state = f"failed: {plugin.error}" if plugin.error else "loaded"
        click.echo(f"plugin      {plugin.name:20} {plugin.distribution:45} {state}")
    if any(plugin.error for plugin in loaded):
        sys.exit(1)
