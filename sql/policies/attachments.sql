-- Whoever uploaded a file sees it, and whoever may see a message that carries it.
drop policy if exists select_uploader_or_reader on messenger.attachments;
create policy select_uploader_or_reader on messenger.attachments for select to messenger_app
    using (
        uploaded_by = messenger.current_user_id()
        or exists (select from messenger.attachment_uses u where u.attachment_id = attachments.id)
    );

-- One uploads in one's own name.
drop policy if exists insert_uploader on messenger.attachments;
create policy insert_uploader on messenger.attachments for insert to messenger_app
    with check (uploaded_by = messenger.current_user_id());

grant select on messenger.attachments to messenger_app;
grant insert (id, uploaded_by, name, mime_type, size, width, height, has_thumbnail) on messenger.attachments to messenger_app;
