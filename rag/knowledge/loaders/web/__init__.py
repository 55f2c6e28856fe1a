"""Web sites: read politely from a sitemap or along the links of a start page, and kept for the next time."""

from rag.knowledge.loaders.web.crawl import crawl

__all__ = ["crawl"]
