"""Message templates: what an inbox offers while no window is open, as `channels.<ch>.templates` holds it."""

from __future__ import annotations

from pydantic import Field

from shared.contract.base import AccountId, Identifier, JsonObject, Model, OptionalText, Timestamp, WorkspaceId
from shared.contract.vocabularies import (
    OptionalCategory,
    OptionalQuality,
    TemplatePart,
    TemplateStatus,
    TemplateValue,
)

TEMPLATE_TYPE = "account.template"


class TemplateParameter(Model):
    """One thing that has to be filled in before the template can be sent."""

    component: TemplatePart
    """The part of the template that it stands in."""
    kind: TemplateValue
    """What is wanted."""
    name: OptionalText = None
    """Its name, where the template's parameters are named (`parameter_name`)."""
    position: int | None = None
    """Its number in the component, from 1, where they are not."""
    button: int | None = None
    """Of a button: which one, from 0 (`index`)."""
    card: int | None = None
    """Of a carousel's card: which one, from 0."""
    example: OptionalText = None
    """What the template's author gave as an example."""


class Template(Model):
    """A message template as the provider has it now."""

    template_id: Identifier
    """The provider's id of it."""
    name: str = Field(min_length=1, max_length=512)
    """Its name, as `content.name` of a command has it."""
    language: str = Field(min_length=1, max_length=64)
    """Its language, as the provider writes it, and as `content.language` of a command has it."""
    status: TemplateStatus
    """How it stands with the provider."""
    sendable: bool
    """Whether the provider takes it now: only such a template is worth offering."""
    category: OptionalCategory = None
    """Its category, which decides what it costs."""
    quality: OptionalQuality = None
    """What its recipients made of it; absent while the provider does not tell."""
    reason: OptionalText = None
    """Why it was rejected, in the provider's words."""
    components: tuple[JsonObject, ...] = ()
    """Header, body, footer and buttons, as the provider's documentation has them: for a preview."""
    parameters: tuple[TemplateParameter, ...] = ()
    """What has to be filled in to send it, in the order of its components."""


class TemplateRecord(Template):
    """A template of an account; a record without a value says that there is no such template any more."""

    channel: Identifier
    """The channel of the account."""
    workspace_id: WorkspaceId
    """The workspace the account belongs to."""
    account_id: AccountId
    """The account that can send it."""
    updated_at: Timestamp
    """When the connectors found it to be so."""

    @property
    def key(self) -> str:
        """The key of its record: one for each name and language of an account, whatever the provider's id of it."""
        return f"{self.account_id}:{self.name}:{self.language}"
