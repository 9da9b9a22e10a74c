"""Answers within asyncio: the loop goes on while tokens are made, and any answer can be ended."""

import asyncio
import sys

import vatra


async def story(model: vatra.Model, hero: str) -> str:
    steps = model.agenerate(f"Once upon a time there was a {hero}", seed=5, max_tokens=30)
    return hero + "".join([step.text async for step in steps])


async def main() -> None:
    with vatra.load(*sys.argv[1:]) as model:
        for text in await asyncio.gather(story(model, "fox"), story(model, "whale")):
            print(text, "\n")

        endless = model.achat([{"role": "user", "content": "Tell me a story."}])
        try:
            async with asyncio.timeout(0.2):
                async for step in endless:
                    print(step.text, end="", flush=True)
        except TimeoutError:
            print(" ... (no more time)")
        await endless.aclose()  # from here on nothing is evaluated any more


asyncio.run(main())
