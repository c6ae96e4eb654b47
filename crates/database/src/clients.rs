//! Registered clients. A project sees its own ones and every central one; its own win.

use crate::connect::{AnyConnection, either};
use crate::limits::{self, fits, fits_if_any};
use crate::page::{Cursor, Cut, Piece, Place, Rows, advance, collect};
use crate::quotas::{QuotaRow, quota};
#[cfg(feature = "mysql")]
use crate::schema::client_names;
use crate::schema::{clients, quotas};
use crate::{DbError, Page, Residual, Tx, json};
use diesel::dsl::sql;
use diesel::helper_types::IntoBoxed;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use freezer_model::{Capabilities, Client, ClientId, Holder, Link, ProjectId, Quota, Timestamp, UserId};

const NOUN: &str = "client";

/// Repository of one transaction; see [`Tx::clients`].
pub struct Clients<'t> {
    pub(crate) tx: &'t mut Tx,
}

/// Conditions that an index decides; `None` = any.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientFilter {
    pub client_id: Option<ClientId>,
    pub uuid: Option<String>,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Clone)]
#[diesel(table_name = clients, primary_key(project_id, client_id), treat_none_as_null = true)]
pub(crate) struct ClientRow {
    pub(crate) project_id: String,
    pub(crate) client_id: String,
    uuid: String,
    user_id: String,
    hostname: Option<String>,
    description: Option<String>,
    capabilities: String,
    pub(crate) is_central: bool,
    link: String,
    agent_version: Option<String>,
    created_at: i64,
    last_seen_at: Option<i64>,
}

fn link_word(link: Link) -> &'static str {
    match link {
        Link::Poll => "poll",
        Link::Amqp => "amqp",
        Link::Http => "http",
    }
}

impl ClientRow {
    fn of(client: &Client) -> Result<Self, DbError> {
        fits("project_id", client.project_id.as_str(), limits::PROJECT_ID)?;
        fits("client_id", client.client_id.as_str(), limits::CLIENT_ID)?;
        fits("uuid", &client.uuid, limits::ID)?;
        fits("user_id", client.user_id.as_str(), limits::USER_ID)?;
        fits_if_any("hostname", client.hostname.as_deref(), limits::SHORT_TEXT)?;
        fits_if_any("description", client.description.as_deref(), limits::SHORT_TEXT)?;
        fits_if_any("agent_version", client.agent_version.as_deref(), limits::SHORT_TEXT)?;
        Ok(Self {
            project_id: client.project_id.to_string(),
            client_id: client.client_id.to_string(),
            uuid: client.uuid.clone(),
            user_id: client.user_id.to_string(),
            hostname: client.hostname.clone(),
            description: client.description.clone(),
            capabilities: json::to_text(NOUN, &client.capabilities)?,
            is_central: client.is_central,
            link: link_word(client.link).to_owned(),
            agent_version: client.agent_version.clone(),
            created_at: client.created_at.0,
            last_seen_at: client.last_seen_at.map(|at| at.0),
        })
    }

    pub(crate) fn into_model(self) -> Result<Client, DbError> {
        let link = [Link::Poll, Link::Amqp, Link::Http]
            .into_iter()
            .find(|link| link_word(*link) == self.link)
            .ok_or_else(|| json::corrupt(NOUN, &self.client_id, "link", &self.link))?;
        Ok(Client {
            capabilities: json::from_text(NOUN, &self.client_id, "capabilities", &self.capabilities)?,
            project_id: ProjectId::from(self.project_id),
            client_id: ClientId::from(self.client_id),
            uuid: self.uuid,
            user_id: UserId::from(self.user_id),
            hostname: self.hostname,
            description: self.description,
            is_central: self.is_central,
            link,
            agent_version: self.agent_version,
            created_at: Timestamp(self.created_at),
            last_seen_at: self.last_seen_at.map(Timestamp),
        })
    }
}

/// The rows of one list.
struct Listed<'t> {
    tx: &'t mut Tx,
    project: &'t ProjectId,
    filter: &'t ClientFilter,
}

type Query<'q> = IntoBoxed<'q, clients::table, <AnyConnection as Connection>::Backend>;

fn query<'q>(project: &'q ProjectId, filter: &'q ClientFilter, cut: &'q Cut<'_>) -> Query<'q> {
    let is_seen = clients::project_id.eq(project.as_str()).or(clients::is_central.eq(true));
    let mut query = clients::table.into_boxed().filter(is_seen);
    if let Some(id) = &filter.client_id {
        query = query.filter(clients::client_id.eq(id.as_str()));
    }
    if let Some(uuid) = &filter.uuid {
        query = query.filter(clients::uuid.eq(uuid.as_str()));
    }
    if let Some(last) = cut.after {
        let (at, id, project) = (last.created_at, last.id.as_str(), last.project.as_str());
        query = query.filter(clients::created_at.gt(at).or(clients::created_at.eq(at).and(
            clients::client_id.gt(id).or(clients::client_id.eq(id).and(clients::project_id.gt(project))),
        )));
    }
    let order = (clients::created_at, clients::client_id, clients::project_id);
    query.order(order).offset(cut.offset).limit(cut.limit)
}

impl Rows for Listed<'_> {
    type Row = ClientRow;
    type Item = Client;

    fn weigh(&mut self, cut: &Cut<'_>) -> Result<Vec<i64>, DbError> {
        let query = query(self.project, self.filter, cut).select(sql::<BigInt>("LENGTH(capabilities)"));
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn cut(&mut self, cut: &Cut<'_>) -> Result<Vec<ClientRow>, DbError> {
        let query = query(self.project, self.filter, cut).select(ClientRow::as_select());
        self.tx.run(NOUN, "", |conn| query.load(conn))
    }

    fn place(row: &ClientRow) -> Place {
        Place { created_at: row.created_at, id: row.client_id.clone(), project: row.project_id.clone() }
    }

    fn read(row: ClientRow) -> Result<Client, DbError> {
        row.into_model()
    }
}

impl Clients<'_> {
    /// The project's own client of that id, else the central one of any project (the oldest, if several).
    pub fn get(&mut self, project: &ProjectId, id: &ClientId) -> Result<Option<Client>, DbError> {
        let rows: Vec<ClientRow> = self.tx.run(NOUN, id.as_str(), |conn| {
            either!(conn => clients::table
                .filter(clients::client_id.eq(id.as_str()))
                .filter(clients::project_id.eq(project.as_str()).or(clients::is_central.eq(true)))
                .order((clients::created_at, clients::project_id))
                .select(ClientRow::as_select())
                .load(conn))
        })?;
        let own = rows.iter().position(|row| row.project_id == project.as_str()).unwrap_or(0);
        rows.into_iter().nth(own).map(ClientRow::into_model).transpose()
    }

    /// As [`Self::get`], with what is set for the project itself: all that a new job is checked against, in one statement.
    pub fn get_with_quota(
        &mut self,
        project: &ProjectId,
        id: &ClientId,
    ) -> Result<Option<(Client, Quota)>, DbError> {
        let rows: Vec<(ClientRow, Option<QuotaRow>)> = self.tx.run(NOUN, id.as_str(), |conn| {
            either!(conn => clients::table
                .left_join(quotas::table.on(quotas::project_id.eq(project.as_str())))
                .filter(clients::client_id.eq(id.as_str()))
                .filter(clients::project_id.eq(project.as_str()).or(clients::is_central.eq(true)))
                .order((clients::created_at, clients::project_id))
                .select((ClientRow::as_select(), quotas::all_columns.nullable()))
                .load(conn))
        })?;
        let own = rows.iter().position(|(row, _)| row.project_id == project.as_str()).unwrap_or(0);
        let Some((row, set)) = rows.into_iter().nth(own) else { return Ok(None) };
        Ok(Some((row.into_model()?, set.map(|set| quota(set).1).unwrap_or_default())))
    }

    /// Lets one transaction at a time decide whose this name is, also when nobody has it yet.
    pub fn lock_name(&mut self, id: &ClientId) -> Result<(), DbError> {
        fits("client_id", id.as_str(), limits::CLIENT_ID)?;
        let locked: Option<String> = self.tx.run(NOUN, id.as_str(), |conn| match conn {
            #[cfg(feature = "mysql")]
            AnyConnection::Mysql(mysql) => {
                let row = client_names::client_id.eq(id.as_str());
                diesel::insert_or_ignore_into(client_names::table).values(row).execute(mysql)?;
                let one = client_names::table.find(id.as_str()).select(client_names::client_id);
                one.for_update().first(mysql).optional()
            }
            // One writer at a time: it is locked already.
            AnyConnection::Sqlite(_) => Ok(None),
        })?;
        drop(locked);
        Ok(())
    }

    /// Every row with that client id, whatever the project: for the conductor, which must not confuse them.
    pub fn of_any_project(&mut self, id: &ClientId) -> Result<Vec<Client>, DbError> {
        let rows: Vec<ClientRow> = self.tx.run(NOUN, id.as_str(), |conn| {
            clients::table
                .filter(clients::client_id.eq(id.as_str()))
                .order((clients::created_at, clients::project_id))
                .select(ClientRow::as_select())
                .load(conn)
        })?;
        rows.into_iter().map(ClientRow::into_model).collect()
    }

    /// Own and central clients, oldest first. One statement, or one for each 1000 rows looked at with a
    /// residual condition.
    pub fn list(
        &mut self,
        project: &ProjectId,
        filter: &ClientFilter,
        residual: Residual<'_, Client>,
        page: Page,
    ) -> Result<Vec<Client>, DbError> {
        let mut listed = Listed { tx: self.tx, project, filter };
        collect(page, residual, |cut| Ok(Piece::of(listed.cut(&cut)?, Listed::place, ClientRow::into_model)))
    }

    /// Reads the next piece of the list; see [`Cursor`].
    pub fn advance<E: From<DbError>>(
        &mut self,
        project: &ProjectId,
        filter: &ClientFilter,
        residual: Residual<'_, Client>,
        cursor: &mut Cursor,
        take: &mut dyn FnMut(Client) -> Result<(), E>,
    ) -> Result<(), E> {
        advance(&mut Listed { tx: self.tx, project, filter }, cursor, residual, take)
    }

    /// [`DbError::Conflict`] when the id (or the uuid) is taken in this project.
    pub fn insert(&mut self, client: &Client) -> Result<(), DbError> {
        let row = ClientRow::of(client)?;
        self.tx.run(NOUN, client.client_id.as_str(), |conn| {
            diesel::insert_into(clients::table).values(row).execute(conn)
        })?;
        Ok(())
    }

    /// Writes all fields of a client that exists.
    pub fn save(&mut self, client: &Client) -> Result<(), DbError> {
        match self.update(client)? {
            true => Ok(()),
            false => Err(DbError::Missing { noun: NOUN, id: client.client_id.to_string() }),
        }
    }

    /// Writes what a registration says about a client that exists, and nothing else: its agent may say hello at the same moment.
    pub fn describe(
        &mut self,
        (project, id): (&ProjectId, &ClientId),
        description: Option<&str>,
        capabilities: &Capabilities,
    ) -> Result<(), DbError> {
        fits_if_any("description", description, limits::SHORT_TEXT)?;
        let capabilities = json::to_text(NOUN, capabilities)?;
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(clients::table.find((project.as_str(), id.as_str())))
                .set((clients::description.eq(description), clients::capabilities.eq(&capabilities)))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Writes the client, new or not. The key is (project, client id); everything else is overwritten.
    pub fn upsert(&mut self, client: &Client) -> Result<(), DbError> {
        if self.update(client)? {
            return Ok(());
        }
        match self.insert(client) {
            // Somebody registered it in between: then theirs is the row to change.
            Err(DbError::Conflict { .. }) => self.save(client),
            outcome => outcome,
        }
    }

    fn update(&mut self, client: &Client) -> Result<bool, DbError> {
        let row = ClientRow::of(client)?;
        let (project, id) = (row.project_id.clone(), row.client_id.clone());
        let changed = self.tx.run(NOUN, &id, |conn| {
            diesel::update(clients::table.find((project, id.as_str()))).set(row).execute(conn)
        })?;
        Ok(changed > 0)
    }

    /// Whose the name is in this project; `None` when it is nobody's.
    pub fn holder(&mut self, project: &ProjectId, id: &ClientId) -> Result<Option<Holder>, DbError> {
        let found: Option<(String, Option<String>)> = self.tx.run(NOUN, id.as_str(), |conn| {
            clients::table
                .find((project.as_str(), id.as_str()))
                .select((clients::user_id, clients::bound_to))
                .first(conn)
                .optional()
        })?;
        Ok(found.map(|(user, bound_to)| Holder { user_id: user.into(), bound_to }))
    }

    /// Binds the name to a login; see [`Holder`].
    pub fn bind(&mut self, project: &ProjectId, id: &ClientId, login: &str) -> Result<(), DbError> {
        fits("bound_to", login, limits::ID)?;
        self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::update(clients::table.find((project.as_str(), id.as_str())))
                .set(clients::bound_to.eq(Some(login)))
                .execute(conn)
        })?;
        Ok(())
    }

    /// Deletes a client of this very project. Returns whether it was there.
    pub fn delete(&mut self, project: &ProjectId, id: &ClientId) -> Result<bool, DbError> {
        let deleted = self.tx.run(NOUN, id.as_str(), |conn| {
            diesel::delete(clients::table.find((project.as_str(), id.as_str()))).execute(conn)
        })?;
        Ok(deleted > 0)
    }
}
