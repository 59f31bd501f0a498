"""From a question to a reviewed answer: experiments on vision models."""
